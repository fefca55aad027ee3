// SPDX-License-Identifier: Apache-2.0

// Package transport holds the specs of the transport as an administrator steers it: the paths of a session, the policy that
// chooses among them, and what happens to a session when its last path goes or its peer leaves in good order. Single
// packets are broken here too, chosen by what they mean to storage. What happens when a whole wire breaks is in package
// failover.
package transport
