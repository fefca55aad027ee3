// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseConfiguration(t *testing.T) {
	if c, err := ParseConfiguration("depth=1,keys=static"); err != nil || len(c) != 2 || c.String() != "depth=1,keys=static" {
		t.Errorf("%q, %v", c, err)
	}
	for text, want := range map[string]string{
		"": `"" is not of the form`, "depth": `"depth" is not of the form`, "=1": "form", "depth=": "form", "a=1,,b=2": "form", "a=1 2": "without blanks",
		"a=1,a=2": `"a=1,a=2" sets a twice`,
	} {
		if c, err := ParseConfiguration(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", text, c, err, want)
		}
	}
}

func TestCheckConfigurations(t *testing.T) {
	for _, c := range []struct {
		all  []Configuration
		hook Hook
		want string
	}{
		{nil, nil, ""},
		{[]Configuration{{"a=1"}, {"a=2"}}, Hook{"true"}, ""},
		{[]Configuration{{"a=1"}}, nil, "needs a control hook"},
		{[]Configuration{{}}, Hook{"true"}, "has no setting"},
		{[]Configuration{{"a"}}, Hook{"true"}, "NAME=VALUE"},
		{[]Configuration{{"a=1"}, {"a=1"}}, Hook{"true"}, "twice"},
	} {
		err := CheckConfigurations(c.all, c.hook)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.all, err, c.want)
		}
	}
}

// TestConfigured has the hook called with the settings, and with them in its environment whenever it is called afterwards.
func TestConfigured(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	f := &fakeSubject{}
	subject := f.target(func(c *Config) {
		c.Hook = hook(t, `shift; echo "$*; $IBNBD_CONFIGURATION" >>`+said)
		c.Configurations = []Configuration{{"depth=1", "keys=static"}, {"depth=2"}}
	})
	for i, want := range []string{
		"configure depth=1 keys=static; depth=1 keys=static\nstatus; depth=1 keys=static\n", "configure depth=2; depth=2\nstatus; depth=2\n",
	} {
		if err := os.RemoveAll(said); err != nil {
			t.Fatal(err)
		}
		r, err := subject.Configured()[i].Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(said); err != nil || string(got) != want {
			t.Errorf("the hook was called with %q, want %q (%v)", got, want, err)
		}
		if got := r.Subject().Configuration; got != []string{"depth=1,keys=static", "depth=2"}[i] {
			t.Errorf("configuration %q", got)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestHookThatCannotConfigure(t *testing.T) {
	subject := (&fakeSubject{}).target(func(c *Config) {
		c.Hook, c.Configurations = hook(t, "exit 127"), []Configuration{{"depth=1"}}
	})
	_, err := subject.Configured()[0].Start(t.Context())
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "does not know the action configure, which starts the target with depth=1") {
		t.Errorf("%v", err)
	}
}
