// SPDX-License-Identifier: Apache-2.0

package audit

// srpRules judge SRP.
var srpRules = []Rule{}
