package main

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"multiserver"
	"multiserver/cmd/internal/command"
)

// TestSettingsHaveFlags: each setting that the library may speak of has a flag, which is
// one of this program and sets it.
func TestSettingsHaveFlags(t *testing.T) {
	values := map[reflect.Type]string{
		reflect.TypeFor[string](): "x", reflect.TypeFor[bool](): "true", reflect.TypeFor[int](): "200",
		reflect.TypeFor[uint16](): "200", reflect.TypeFor[uint64](): "200", reflect.TypeFor[time.Duration](): "3s",
		reflect.TypeFor[netip.Addr](): "239.1.2.3", reflect.TypeFor[multiserver.UnicastMode](): "always",
		reflect.TypeFor[multiserver.MXB1Mode](): "only",
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[multiserver.ClientConfig]()) {
		switch field.Type.Kind() {
		case reflect.Func, reflect.Interface, reflect.Pointer: // no flag can hold it
			continue
		}
		var o options
		flags := o.command().Flags()
		name := command.FlagOf("ClientConfig." + field.Name)
		flag := flags.Lookup(strings.TrimPrefix(name, "--"))
		if short, ok := strings.CutPrefix(name, "-"); ok && len(short) == 1 {
			flag = flags.ShorthandLookup(short)
		}
		if flag == nil {
			t.Errorf("ClientConfig.%s: no flag %q", field.Name, name)
			continue
		}
		if err := flag.Value.Set(values[field.Type]); err != nil {
			t.Errorf("ClientConfig.%s: %s %s: %v", field.Name, name, values[field.Type], err)
		}
		set := !reflect.ValueOf(o.config).FieldByIndex(field.Index).IsZero()
		if strings.HasPrefix(field.Name, "Control") { // host and port are told apart later
			set = o.endpoint != command.Endpoint{}
		}
		if !set {
			t.Errorf("%s does not set ClientConfig.%s", name, field.Name)
		}
	}
}
