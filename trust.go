package multiserver

import (
	"os"
	"strings"

	"multiserver/internal/failure"
	"multiserver/internal/quote"
	"multiserver/internal/statement"
)

// policy is what the client asks of what is signed; nil: nothing.
func (c *ClientConfig) policy() (*statement.Policy, error) {
	if c.Trust == "" {
		for _, field := range []struct {
			name string
			set  bool
		}{{"Image", c.Image != ""}, {"MinSerial", c.MinSerial != 0}, {"TrustState", c.TrustState != ""}} {
			if field.set {
				return nil, failure.Setting("ClientConfig."+field.name, "it is about signed images, and so needs ClientConfig.Trust")
			}
		}
		return nil, nil
	}
	if c.MXB1 == MXB1Only {
		return nil, failure.Setting("ClientConfig.Trust", "nothing is signed over MXB 1")
	}
	text := strings.ReplaceAll(c.Trust, ",", "\n")
	if !strings.HasPrefix(text, keyPrefix) {
		b, err := os.ReadFile(c.Trust)
		if err != nil {
			return nil, failure.Setting("ClientConfig.Trust", "neither a public key, which begins with %s, nor a file that can be read: %w", keyPrefix, quote.Error(err))
		}
		text = string(b)
	}
	keys, err := statement.ParseTrusted(text)
	if err != nil {
		return nil, failure.Setting("ClientConfig.Trust", "%w", err)
	}
	return &statement.Policy{Keys: keys, Name: c.Image, MinSerial: c.MinSerial, State: statement.Serials{Path: c.TrustState}}, nil
}

// keyPrefix is what the keys of minisign begin with.
const keyPrefix = "RW"
