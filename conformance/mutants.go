// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants/lab"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// Whatever works for a run of this package may be told to have a spec meet a mutant.
func init() { kit.AlterBy(lab.AlterationOf) }
