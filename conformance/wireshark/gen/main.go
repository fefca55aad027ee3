// SPDX-License-Identifier: Apache-2.0

// Command gen writes the layout tables of the dissector. Run it by go generate in the directory above.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/wireshark"
)

func main() {
	var b bytes.Buffer
	err := wireshark.WriteLayouts(&b, protocol.Layouts(conformance.Protocols()))
	if err == nil {
		err = os.WriteFile(wireshark.LayoutsFile, b.Bytes(), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "write the dissector's layout tables:", err)
		os.Exit(1)
	}
}
