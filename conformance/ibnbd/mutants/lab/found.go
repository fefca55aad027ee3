// SPDX-License-Identifier: Apache-2.0

package lab

// found are those that need not be made: what mainline breaks as it is.
func found() []row {
	return []row{
		{Name: "mainline-families", What: "mainline's target takes addresses of different families for the same", Breaks: []string{"IBTRS-CONN-053"}, Found: true},
		{Name: "mainline-force", What: "mainline's initiator waits for I/O when a device is unmapped by force", Breaks: []string{"IBNBD-SYSFS-022"}, Found: true},
		{
			Name: "mainline-ghost-session", What: "mainline's initiator keeps a session whose last device was unmapped", Breaks: []string{"IBNBD-FAIL-026"}, Found: true,
			By: []string{"provocation where a response comes by SEND although keys are kept"},
		},
		{Name: "mainline-registers-twice", What: "mainline's target loses the path with a packet of a read's data", Breaks: []string{"IBTRS-INV-016"}, Found: true},
		{
			Name: "mainline-slow-teardown", What: "mainline's initiator goes on waiting for connections that were never confirmed", Breaks: []string{"IBTRS-PATH-023"}, Found: true,
			By: []string{"recovery takes a path down at once when its peer confirms, also after it was silent"},
		},
		{
			Name: "mainline-waits-for-ever", What: "mainline's initiator waits for a connection that carries nothing", Breaks: []string{"IBNBD-FAIL-028"}, Found: true,
			By: []string{"failover on silent loss of one connection with one path: I/O fails within the bound"},
		},
	}
}
