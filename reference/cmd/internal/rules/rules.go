// SPDX-License-Identifier: Apache-2.0

// Package rules turns rules of the reference off by names that a person types.
package rules

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
)

// Break turns the named rules off, in structs of switches that sets point to.
func Break(names []string, sets ...any) error {
	known := switches(sets)
	for _, name := range names {
		rule, ok := known[name]
		if !ok {
			return program.Usagef("--break %q is none of %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		rule.SetBool(true)
	}
	return nil
}

// switches are the rules that can be turned off, by their names.
func switches(sets []any) map[string]reflect.Value {
	found := make(map[string]reflect.Value)
	for _, rules := range sets {
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
