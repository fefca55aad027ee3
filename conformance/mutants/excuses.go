// SPDX-License-Identifier: Apache-2.0

package mutants

// Why a clause has no mutant yet.
const (
	kernelFiles = "sysfs and module parameters belong to a kernel: it takes a broken module in a guest"
)

// excuses are the clauses and areas that have no mutant yet. One that has gets a complaint.
var excuses = map[string]string{
	"IBTRS-SYSFS": kernelFiles,
}
