package statement

import (
	"errors"
	"fmt"
	"time"
)

// Errors of Policy.Check, beside those of Verify.
var (
	// ErrUnsigned: the server has no statement.
	ErrUnsigned = errors.New("the image is not signed: multiserver sign signs it")
	// ErrOther: what was signed is not what is asked for.
	ErrOther = errors.New("another image is signed")
	// ErrOld: the serial number is too low.
	ErrOld = errors.New("an old version of the image is signed")
	// ErrExpired: the last day is over.
	ErrExpired = errors.New("what was signed has expired")
)

// Policy is what a client asks of a statement. Keys alone must be given.
type Policy struct {
	Keys      Trusted
	Name      string // of the image; "": any
	MinSerial uint64
	State     Serials // the highest that this client has seen; no Path: none are kept
}

// Check returns the statement if it is signed and fits, and in warning what a person should know.
// now is the client's clock. If that is before the day of signing it is wrong, and nothing has
// expired by it: clocks of machines that boot from the network often are.
func (p *Policy) Check(signed Signed, now time.Time) (s Statement, warning string, err error) {
	if len(signed.Text) == 0 {
		return s, "", ErrUnsigned
	}
	s, key, err := p.Keys.Verify(signed)
	if err != nil {
		return s, "", err
	}
	by := fmt.Sprintf("key %016X", key.ID())
	if p.Name != "" && s.Name != p.Name {
		return s, "", fmt.Errorf("%w: %q by %s, and this client takes %q", ErrOther, s.Name, by, p.Name)
	}
	if s.Serial < p.MinSerial {
		return s, "", fmt.Errorf("%w: serial %d of %q, and this client takes %d or higher", ErrOld, s.Serial, s.Name, p.MinSerial)
	}
	if p.State.Path != "" {
		last, err := p.State.Last(s.Name)
		if err != nil {
			return s, "", err
		}
		if s.Serial < last {
			return s, "", fmt.Errorf("%w: serial %d of %q, and this client has seen %d", ErrOld, s.Serial, s.Name, last)
		}
	}
	if s.Created.After(now.AddDate(0, 0, 1)) {
		return s, fmt.Sprintf("this machine's clock says %s, and the image was signed on %s: when it expires cannot be checked",
			now.UTC().Format(time.DateOnly), s.Created.UTC().Format(time.DateOnly)), nil
	}
	if s.Expired(now) {
		return s, "", fmt.Errorf("%w: on %s", ErrExpired, s.Expires.Format(time.DateOnly))
	}
	return s, "", nil
}
