// SPDX-License-Identifier: Apache-2.0

// Package mutants has broken implementations of SRP: the reference's target with a rule turned off, which runs against somebody else's
// target have to find, and recorded exchanges that are altered as if a broken implementation had taken part, in which the passive judge
// has to find what is broken, and nothing else. The captures are those of the tests of package roce.
package mutants
