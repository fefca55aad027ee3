// SPDX-License-Identifier: Apache-2.0

// Package docs has those documents as data from which programs quote.
package docs

import _ "embed"

// Seeds is seeds.md: both seeds, sentence by sentence under their headings, with the clauses that demand what each says.
//
//go:embed seeds.md
var Seeds string
