package fetch

import (
	"context"
	"fmt"
	"time"

	"multiserver/internal/failure"
	"multiserver/internal/statement"
	"multiserver/internal/wire"
)

const (
	// signatureRetry is how soon what is signed is asked for again. It doubles up to
	// maxSignatureRetry, and after signatureTries, 10 s, the server has none.
	signatureRetry    = 100 * time.Millisecond
	maxSignatureRetry = time.Second
	signatureTries    = 13
)

// A statement and its signature, with the size between them, fit the packet that carries them.
const _ = uint(wire.MaxSigned - (2 + statement.MaxTextSize + statement.MaxSignatureSize))

// trust keeps a session from the target until what arrives is known to be signed: first the
// statement, by the server's answer, and then the manifest, which must have the digest in it. From
// then on every block is held against the manifest before it is written. nil: nothing is asked.
type trust struct {
	policy *statement.Policy
	said   *statement.Statement // nil until it is verified
	next   time.Duration        // when it is asked for again
	tries  int
	open   chan struct{} // closed once the manifest fits
}

func newTrust(policy *statement.Policy) *trust {
	if policy == nil {
		return nil
	}
	return &trust{policy: policy, open: make(chan struct{})}
}

// opened is closed once the target may be touched; nil if it may be from the beginning.
func (t *trust) opened() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.open
}

// waits reports whether the statement has not come.
func (t *trust) waits() bool { return t != nil && t.said == nil }

// askSigned asks the server for what is signed, when that is due.
func (s *session) askSigned(now time.Duration) error {
	t := s.trust
	if !t.waits() || now < t.next {
		return nil
	}
	if t.tries == signatureTries {
		return failure.New(failure.ErrIntegrity, "%s does not answer what is signed: it is of an earlier version, and this client takes nothing unsigned", s.cfg.Offer.Server)
	}
	s.send(wire.WantedSignature{Session: s.description.Session, Receiver: s.receiver(), Token: s.description.Token}.AppendTo(nil))
	t.next = now + min(signatureRetry<<t.tries, maxSignatureRetry)
	t.tries++
	return nil
}

// handleSigned takes the server's answer. Its private number says that it is the server's; whom to
// believe the signature says.
func (s *session) handleSigned(now time.Duration, answer wire.Signature) error {
	t := s.trust
	if !t.waits() {
		return nil // late
	}
	var signed statement.Signed
	if len(answer.Signed) > 0 {
		var err error
		if signed, err = statement.ParseSigned(answer.Signed); err != nil {
			s.blocks.counts.BadPackets++
			return nil
		}
	}
	st, warning, err := t.policy.Check(signed, time.Now())
	if err != nil {
		return failure.New(failure.ErrIntegrity, "%s: %w", s.cfg.Offer.Server, err)
	}
	if g := s.description.Geometry; st.SizeBytes != g.ImageSize || st.BlockSize != g.BlockSize {
		return failure.New(failure.ErrIntegrity, "%s serves an image of %d bytes in blocks of %d; signed is %q, of %d in blocks of %d",
			s.cfg.Offer.Server, g.ImageSize, g.BlockSize, st.Name, st.SizeBytes, st.BlockSize)
	}
	if warning != "" {
		s.cfg.Log.Warn(warning)
	}
	s.cfg.Log.Info(fmt.Sprintf("signed as %q, serial %d", st.Name, st.Serial))
	t.said = &st
	s.blocks.proof.signed = new(st.Image)
	return s.blocks.checkManifest(now)
}

// begin lets the session touch the target: what the manifest says is signed.
func (s *session) begin(now time.Duration) {
	s.engine.Begin(now)
	close(s.trust.open)
}

// keepSerial keeps the serial number of the image that is on the target now.
func (s *session) keepSerial() {
	if s.trust == nil || s.trust.policy.State.Path == "" {
		return
	}
	if err := s.trust.policy.State.Keep(s.trust.said.Name, s.trust.said.Serial); err != nil {
		s.cfg.Log.Warn("the serial number of the image is not kept: an older one will not be refused", "err", err)
	}
}

// awaitTrust waits until the target may be touched, and reports whether it may.
func (l *startLine) awaitTrust(ctx context.Context) bool {
	if l.trusted == nil {
		return true
	}
	select {
	case <-l.trusted:
		return true
	case <-l.ended:
	case <-ctx.Done():
	}
	return false
}
