// SPDX-License-Identifier: Apache-2.0

// Package provocations is what targets do to an initiator of SRP, to see what it does.
//
// A [Provocation] has scripted targets, package script, do something that is unusual or wrong, or be away for a while, and judges the
// initiator by what the targets see of it and by what its user sees: the interface [Initiator]. So the same provocations judge this
// project's initiator in this process, one that somebody else runs and whose owner's command steers it, and one in a guest.
//
// Times are the configured timers. What may take longer than a timer because a machine is busy is bounded by the Patience of a [Setup],
// and never less than the timer itself.
package provocations
