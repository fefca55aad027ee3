// SPDX-License-Identifier: Apache-2.0

package standard_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/standard"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/layout"
)

const area = `
area: TEST-AREA
title: A test
dialects: [rnbd]
clauses:
  - id: TEST-AREA-001
    level: MUST
    judges: target
    text: The target MUST open /dev/rnbd<N> | and *not* another.
    source: [seed]
    requires: [sysfs]
    decided: {by: [active], how: By looking.}
    ambiguity: {question: "Which N?", accepted: ["0", "1"]}
    notes: A note.
  - {id: TEST-AREA-002, level: MAY, judges: both, text: Both MAY rest., source: [seed], decided: {undecidable: Rest is not seen.}}
withdrawn:
  - {id: TEST-AREA-003, into: [TEST-AREA-001], because: It was the same.}
`

var table = layout.Protocol{Name: "test", Title: "A test protocol", Messages: []layout.Message{{
	Name: "hello", Title: "HELLO", Size: 8, Repeats: "some_name",
	Fields: []layout.Field{
		{Name: "type", Size: 4, Encoding: layout.Little, Values: []layout.Value{{Number: 31, Name: "a"}}},
		{Name: "size", Offset: 4, Size: 4, Encoding: layout.Big, Unit: "sectors", Meaning: "all",
			Bits: []layout.Bits{{Name: "one", Mask: 1}, {Name: "more", Mask: 0x0f0, Meaning: "others", Values: []layout.Value{{Number: 2, Name: "b"}}}}},
	},
}}}

func TestMarkdownHasAllThatIsKnown(t *testing.T) {
	catalogue, err := clauses.New(clauses.Part{Dialects: []clauses.Dialect{"ibnbd", "rnbd"}, Files: fstest.MapFS{"test-area.yaml": {Data: []byte(area)}}})
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	document := standard.Document{
		Head: "# The standard\n", Terms: []standard.Term{{Word: "N", Meaning: "a number"}}, Reading: "\n## Reading\n",
		Catalogue: catalogue, Layouts: []layout.Protocol{table}, Mutants: map[string][]string{"TEST-AREA-001": {"b", "a", "b"}},
		Breakers: []verdict.ExpectedFailure{{Clause: "TEST-AREA-001", Subject: "mainline-*", Role: clauses.Target, Spec: "a spec"}},
	}
	if err := document.Markdown(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# The standard\n\n## Terms\n\n| term | meaning |\n|---|---|\n| N | a number |\n\n## Reading\n",
		"## 1. TEST-AREA: A test\n",
		"### TEST-AREA-001\n\n**MUST** The target MUST open /dev/rnbd&lt;N> \\| and \\*not\\* another.\n\n- judges: the target (server)\n",
		"- requires: sysfs\n- decided: by specs that act on the subject\n- how: By looking.\n- unclear: Which N?\n- accepted: 0\n- accepted: 1\n- note: A note.\n" +
			"- known to break it: mainline, as target, in the spec \"a spec\"\n- broken on purpose by: a; b\n",
		"- decided: by nobody: Rest is not seen.\n",
		"#### HELLO\n\n8 bytes, and as many some names behind them as the message says.\n",
		"| 0 | 4 | type | little-endian |  |  |\n| 4 | 4 | size | big-endian | sectors | all |\n",
		"| type |  | 31 (0x1f) | a |\n| size | 0 |  | one |\n| size | 4-7 |  | more: others |\n| size | 4-7 | 2 | b |\n",
		"| TEST-AREA-003 | TEST-AREA-001 | It was the same. |\n",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("there is no %q in:\n%s", want, page.String())
		}
	}
}
