// SPDX-License-Identifier: Apache-2.0

// Package clausestest gives tests of the engine, which knows no protocol, the catalogue of all protocols.
package clausestest

import (
	"sync"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	ibnbd "github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	srp "github.com/ibnbd/ibnbd/conformance/srp/catalogue"
)

var all = sync.OnceValue(func() *clauses.Catalogue { return clauses.MustNew(ibnbd.Part, srp.Part) })

// Catalogue is the catalogue of all protocols.
func Catalogue() *clauses.Catalogue { return all() }
