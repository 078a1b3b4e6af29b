package statement

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"aead.dev/minisign"
)

// Errors of Verify, for callers that tell them apart.
var (
	// ErrUntrusted: no key of the list signed it.
	ErrUntrusted = errors.New("signed by none of the trusted keys")
	// ErrForged: the signature names a key of the list, and is not by that key, or not of this text.
	ErrForged = errors.New("the signature is false")
)

const (
	// MaxSignatureSize is how many bytes a signature has at most: minisign's four lines, with
	// comments of 100 bytes or so.
	MaxSignatureSize = 500
	// maxTrusted is how many keys a list has at most.
	maxTrusted = 64
)

// Signed is a statement with its signature, both as they are stored: the text, and the lines of
// minisign's .minisig file.
type Signed struct {
	Text      []byte
	Signature []byte
}

// Sign signs a statement. It returns an error if the statement is none that Parse would accept.
func Sign(key minisign.PrivateKey, s Statement) (Signed, error) {
	if err := s.Validate(); err != nil {
		return Signed{}, err
	}
	text := s.Text()
	if len(text) > MaxTextSize {
		return Signed{}, fmt.Errorf("the statement has %d bytes, %d at most: choose a shorter name", len(text), MaxTextSize)
	}
	comment := fmt.Sprintf("multiserver image, serial %d", s.Serial)
	return Signed{text, prehashed(key, text, comment)}, nil
}

// prehashed signs as minisign does by default: Ed25519 over BLAKE2b-512 of the text.
func prehashed(key minisign.PrivateKey, text []byte, comment string) []byte {
	r := minisign.NewReader(bytes.NewReader(text))
	if _, err := r.Read(make([]byte, len(text)+1)); err != nil {
		panic("statement: a reader of bytes fails: " + err.Error())
	}
	return r.SignWithComments(key, comment, "signature of a multiserver image")
}

// EncodeSecret is a secret key as minisign's file has it; with an empty password it is not encrypted.
func EncodeSecret(key minisign.PrivateKey, password string) ([]byte, error) {
	if password == "" {
		return key.MarshalText()
	}
	return minisign.EncryptKey(password, key)
}

// DecodeSecret reads a secret key from minisign's file, also one that the minisign program made. It
// calls password if the key is encrypted; without it such a key is an error.
func DecodeSecret(file []byte, password func() (string, error)) (key minisign.PrivateKey, err error) {
	if !minisign.IsEncrypted(file) {
		if err := key.UnmarshalText(file); err != nil {
			return key, errors.New("no secret key of minisign")
		}
		return key, nil
	}
	if password == nil {
		return key, errors.New("the secret key is encrypted, and nobody knows its password")
	}
	text, err := password()
	if err != nil {
		return key, err
	}
	if key, err = minisign.DecryptKey(text, file); err != nil {
		return key, errors.New("the password is wrong, or the secret key is damaged")
	}
	return key, nil
}

// EncodePublic is a public key as minisign's file has it.
func EncodePublic(key minisign.PublicKey) []byte {
	text, _ := key.MarshalText() // no error, by its documentation
	return append(text, '\n')
}

// Trusted is a list of public keys.
type Trusted []minisign.PublicKey

// ParseTrusted reads keys: minisign's .pub files, joined or not, or only their lines that begin with
// "RW"; empty lines and such as begin with "#" do not count.
func ParseTrusted(text string) (Trusted, error) {
	var t Trusted
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "untrusted comment:") {
			continue
		}
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(line)); err != nil {
			return nil, fmt.Errorf("%.80q is no public key of minisign, which begins with RW and has 56 characters", line)
		}
		if len(t) == maxTrusted {
			return nil, fmt.Errorf("more than %d keys", maxTrusted)
		}
		t = append(t, key)
	}
	if len(t) == 0 {
		return nil, errors.New("no public key in it")
	}
	return t, nil
}

// Verify returns the statement if a key of the list signed it, and that key.
func (t Trusted) Verify(signed Signed) (Statement, minisign.PublicKey, error) {
	if len(signed.Text) > MaxTextSize || len(signed.Signature) > MaxSignatureSize {
		return Statement{}, minisign.PublicKey{}, fmt.Errorf("%w: %d and %d bytes", ErrMalformed, len(signed.Text), len(signed.Signature))
	}
	var sig minisign.Signature
	if err := sig.UnmarshalText(signed.Signature); err != nil {
		return Statement{}, minisign.PublicKey{}, fmt.Errorf("%w: no signature of minisign: %w", ErrMalformed, err)
	}
	for _, key := range t {
		if key.ID() != sig.KeyID {
			continue
		}
		if !minisign.Verify(key, signed.Text, signed.Signature) {
			return Statement{}, minisign.PublicKey{}, fmt.Errorf("%w (key %016X)", ErrForged, sig.KeyID)
		}
		s, err := Parse(signed.Text)
		return s, key, err
	}
	return Statement{}, minisign.PublicKey{}, fmt.Errorf("%w: it is by key %016X", ErrUntrusted, sig.KeyID)
}
