// SPDX-License-Identifier: Apache-2.0

// Package baselines holds the expected failures of implementations of SRP that this project has judged: findings, each with its
// reason. A failure that is not here fails a run, and so does an entry whose clause passes.
package baselines

import _ "embed"

// Mainline is the baseline of mainline Linux: of LIO with ib_srpt as the target, and of ib_srp as the initiator.
//
//go:embed mainline.yaml
var Mainline string
