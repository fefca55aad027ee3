// SPDX-License-Identifier: Apache-2.0

package clauses

// Edition is the number of this edition of the catalogue as a standard. The first number grows when an implementation that kept all
// clauses of the edition before may break one, the second when clauses say something else without that. The first such change after a
// release of the suite begins an edition, and all further ones until the next release belong to it.
const Edition = "3.0"
