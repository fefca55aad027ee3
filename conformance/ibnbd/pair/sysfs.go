// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"strings"

	"github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

const sysfsPrefix = "sysfs:"

// Sysfs is the decorator of specs that judge the sysfs files of one role. They do not apply to a subject without sysfs.
func Sysfs(role clauses.Role) ginkgo.Labels { return ginkgo.Label(sysfsPrefix + string(role)) }

// sysfsRole is the role whose sysfs the labels speak of, or "".
func sysfsRole(labels []string) clauses.Role {
	for _, label := range labels {
		if role, ok := strings.CutPrefix(label, sysfsPrefix); ok {
			return clauses.Role(role)
		}
	}
	return ""
}

// Begin ends a spec of files in sysfs as not applicable when the subject that it speaks of has none.
func (p *Pair) Begin(labels []string) {
	if role := sysfsRole(labels); role != "" {
		p.NeedSysfs(role)
	}
}

// NeedSysfs ends the spec as not applicable when a subject has no sysfs.
func (p *Pair) NeedSysfs(role clauses.Role) {
	info := p.Initiator.Info()
	if role == clauses.Target {
		info = p.Target.Info()
	}
	if !info.Sysfs {
		specreport.Skip(verdict.AbilityMissing, "the %s %s is not administered through sysfs", role, info.Name)
	}
}
