// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// completeDevice completes the path of a device that is mapped, in the session that --session names if it does.
func (k *kernelOptions) completeDevice(session *string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return k.complete(c, begun, func(st *status) (names []string) {
			for _, d := range st.Devices {
				if *session == "" || *session == st.Session {
					names = append(names, d.Path)
				}
			}
			return names
		})
	}
}

// completeSession completes the name of a session.
func (k *kernelOptions) completeSession(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return k.complete(c, begun, func(st *status) []string { return []string{st.Session} })
}

func (k *kernelOptions) complete(c *cobra.Command, begun string, names func(*status) []string) ([]string, cobra.ShellCompDirective) {
	all, err := k.statuses(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var fit []string
	for i := range all {
		for _, name := range names(&all[i]) {
			if strings.HasPrefix(name, begun) {
				fit = append(fit, name)
			}
		}
	}
	return fit, cobra.ShellCompDirectiveNoFileComp
}
