// SPDX-License-Identifier: Apache-2.0

package specreport

import (
	"regexp"
	"strings"
	"time"
)

// typed is how Gomega begins a value: its type, its length or its address.
var typed = regexp.MustCompile(`^<[^<>]*(?:<-[^<>]*)?>: ?`)

// occurred ends Gomega's message about an error, which is whole without it.
const occurred = "occurred"

// plain makes a sentence of a message of Gomega: values without their types and addresses, errors as their text instead of a dump of
// their structs. What has several lines besides keeps them.
func plain(message string) string {
	var lines []string
	dump := "" // the indentation of the dump of a struct that is being left out
	inDump := false
	for line := range strings.Lines(message) {
		line = strings.TrimRight(line, "\n")
		text := strings.TrimLeft(line, " ")
		indent := line[:len(line)-len(text)]
		switch {
		case inDump:
			inDump = !(indent == dump && text == "}")
			continue
		case text == "{" && indent != "":
			inDump, dump = true, indent
			continue
		}
		if indent != "" {
			text = value(text)
		}
		if text = strings.TrimSpace(text); text != "" && text != occurred {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, separator(lines))
}

// value leaves out how Gomega begins a value; a duration, which it writes in nanoseconds, gets its unit.
func value(text string) string {
	begin := typed.FindString(text)
	rest := text[len(begin):]
	if strings.HasPrefix(begin, "<time.Duration>") {
		if d, err := time.ParseDuration(rest + "ns"); err == nil {
			return d.String()
		}
	}
	return rest
}

// longest is the number of characters up to which a message is put on one line.
const longest = 240

// separator is what lines of a message are joined by.
func separator(lines []string) string {
	size := 0
	for _, line := range lines {
		size += len(line) + 1
	}
	if size > longest {
		return "\n"
	}
	return " "
}
