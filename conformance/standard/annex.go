// SPDX-License-Identifier: Apache-2.0

package standard

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/ibnbd/ibnbd/reference/layout"
)

const annexHead = `
## Annex A: layouts (normative)

Offsets and sizes are in bytes. The least significant byte of a little-endian number comes first, the most significant byte of a
big-endian one. Signed numbers are in two's complement. Text is ended by a zero byte inside its field, and the rest of the field is
zero. Reserved bytes are sent as zero. Bits are numbered from the least significant one of the number, bit 0, whatever the byte
order; bits that no row names are reserved.
`

func (p *page) annex(protocols []layout.Protocol) {
	p.print(annexHead)
	for i, protocol := range protocols {
		p.format("\n### A.%d %s\n", i+1, protocol.Title)
		for _, m := range protocol.Messages {
			p.message(m)
		}
	}
}

func (p *page) message(m layout.Message) {
	p.format("\n#### %s\n\n%d bytes%s.\n\n", m.Title, m.Size, repeated(m))
	p.table("offset", "size", "field", "byte order", "unit", "meaning")
	for _, f := range m.Fields {
		p.row(fmt.Sprint(f.Offset), fmt.Sprint(f.Size), f.Name, f.Encoding.String(), f.Unit, plain(f.Meaning))
	}
	p.numbers(m)
}

func repeated(m layout.Message) string {
	if m.Repeats == "" {
		return ""
	}
	return fmt.Sprintf(", and as many %ss behind them as the message says", strings.ReplaceAll(m.Repeats, "_", " "))
}

// numbers lists the bits and the named values of the fields of a message.
func (p *page) numbers(m layout.Message) {
	var rows [][]string
	for _, f := range m.Fields {
		rows = append(rows, values(f.Name, "", f.Values)...)
		for _, group := range f.Bits {
			rows = append(rows, []string{f.Name, span(group.Mask), "", plain(strings.TrimSuffix(group.Name+": "+group.Meaning, ": "))})
			rows = append(rows, values(f.Name, span(group.Mask), group.Values)...)
		}
	}
	if len(rows) == 0 {
		return
	}
	p.print("\n")
	p.table("field", "bits", "value", "name and meaning")
	for _, row := range rows {
		p.row(row...)
	}
}

func values(field, span string, all []layout.Value) [][]string {
	var rows [][]string
	for _, v := range all {
		rows = append(rows, []string{field, span, number(v.Number), plain(v.Name)})
	}
	return rows
}

// number writes small numbers as people count, and others as they are written in code.
func number(n uint64) string {
	if n < 10 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d (%#x)", n, n)
}

// span is where the bits of a mask are: "3" or "19-27".
func span(mask uint64) string {
	low, high := bits.TrailingZeros64(mask), 63-bits.LeadingZeros64(mask)
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d-%d", low, high)
}
