// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// switches are the rules of a server that can be turned off, by the name that a person types.
func switches(cfg *ibnbd.ServerConfig) map[string]reflect.Value {
	found := make(map[string]reflect.Value)
	for _, rules := range []any{&cfg.Rules, &cfg.Transport.Rules} {
		v := reflect.ValueOf(rules).Elem()
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.Bool {
				found[dashed(v.Type().Field(i).Name)] = v.Field(i)
			}
		}
	}
	return found
}

// dashed writes the name of a field as the name of a flag: IgnoreFUA as ignore-fua, FixedID as fixed-id.
func dashed(name string) string {
	var out strings.Builder
	letters := []rune(name)
	for i, r := range letters {
		begins := i > 0 && unicode.IsUpper(r) && (unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if begins {
			out.WriteByte('-')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// breakRules turns rules off.
func breakRules(cfg *ibnbd.ServerConfig, names []string) error {
	known := switches(cfg)
	for _, name := range names {
		rule, ok := known[name]
		if !ok {
			return program.Usagef("--break %q is none of %s", name, strings.Join(ruleNames(), ", "))
		}
		rule.SetBool(true)
	}
	return nil
}

// ruleNames are the names of all rules that can be broken.
func ruleNames() []string {
	cfg := ibnbd.DefaultServerConfig()
	var names []string
	for name := range switches(&cfg) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
