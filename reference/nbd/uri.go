// SPDX-License-Identifier: Apache-2.0

package nbd

import (
	"net/url"
	"strings"
)

// URI names an export on a Unix socket as NBD programs do. All bytes but slashes and those that never have a meaning in
// a URI are percent-encoded. The socket should be an absolute path: a relative one means something else elsewhere.
//
// Source: the document of the NBD project, doc/uri.md.
func URI(socket, export string) string {
	return "nbd+unix:///" + encode(export) + "?socket=" + encode(socket)
}

func encode(text string) string { return encodeSlash.Replace(url.QueryEscape(text)) }

// encodeSlash makes of what a form would send what any part of a URI can have. A plus sign is one, not a space.
var encodeSlash = strings.NewReplacer("+", "%20", "%2F", "/")
