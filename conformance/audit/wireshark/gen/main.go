// SPDX-License-Identifier: Apache-2.0

// Command gen writes the layout tables of the dissector. Run it by go generate in the directory above.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/ibnbd/ibnbd/conformance/audit/wireshark"
)

func main() {
	var b bytes.Buffer
	err := wireshark.WriteLayouts(&b)
	if err == nil {
		err = os.WriteFile(wireshark.LayoutsFile, b.Bytes(), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "write the dissector's layout tables:", err)
		os.Exit(1)
	}
}
