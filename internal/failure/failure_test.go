package failure

import (
	"errors"
	"io/fs"
	"testing"
)

func TestError(t *testing.T) {
	err := New(ErrIntegrity, "read block %d: %w", 7, fs.ErrNotExist)
	if want := "read block 7: file does not exist"; err.Error() != want {
		t.Errorf("the text is %q, want %q", err, want)
	}
	if !errors.Is(err, ErrIntegrity) || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrConfig) {
		t.Errorf("%v is not exactly of its kind and its cause", err)
	}
}

func TestSetting(t *testing.T) {
	err := Setting("ServerConfig.MTU", "%d is not within %d to %d", 1, 576, 9216)
	if want := "ServerConfig.MTU: 1 is not within 576 to 9216"; err.Error() != want {
		t.Errorf("the text is %q, want %q", err, want)
	}
	var e *Error
	if !errors.As(err, &e) || e.Field != "ServerConfig.MTU" || !errors.Is(err, ErrConfig) {
		t.Errorf("%v does not tell its field and kind", err)
	}
}
