// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func newDisconnectCommand() *cobra.Command {
	socket := ""
	c := &cobra.Command{
		Use: "disconnect SESSION CLIENT@SERVER", Short: "Tell the server that runs to close one path of a session",
		Long: `Tells the server that runs to close one path of a session, named by its two addresses as --status shows it. The
client may connect it again.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			query := url.Values{"session": {args[0]}, "path": {args[1]}}
			return control.Ask(c.Context(), socket, http.MethodPost, "/disconnect?"+query.Encode(), nil)
		},
	}
	c.Flags().StringVar(&socket, "control", defaultControl(), "Unix `SOCKET` of the server")
	return c
}

// disconnect closes a path, whose addresses may be written with the prefix ip: or without.
func disconnect(s *ibnbd.Server, session, path string) error {
	plain := strings.NewReplacer("ip:", "")
	for _, sess := range s.Transport().Sessions() {
		for _, p := range sess.Paths() {
			if sess.Name() == session && plain.Replace(p.String()) == plain.Replace(path) {
				p.Disconnect()
				return nil
			}
		}
	}
	return fmt.Errorf("session %q has no path %s: %w", session, path, ibtrs.ENOENT)
}
