// SPDX-License-Identifier: Apache-2.0

package image

// kernelArgs are the words of the kernel's command line that guests need. The serial console is left to whoever starts
// the machine.
var kernelArgs = []string{
	"panic=-1",            // a panic reboots at once, and QEMU with -no-reboot ends: that is how the host learns of it
	"quiet",               // a serial console costs time for each character; /dev/kmsg has everything anyway
	"mitigations=off",     // guests run nobody else's code
	"nokaslr",             // addresses in a kernel log can be compared between runs
	"random.trust_cpu=on", // no waiting for entropy
	"no_timer_check",      // under an emulated CPU the check fails now and then, and panics
	"tsc=reliable",        // no time spent on calibrating and watching an emulated counter
	"init_on_alloc=0",     // a tenth of a guest's time; and memory that still holds something else shows who forgets to clear it
	"psi=0",               // nobody reads the pressure of a guest
	"lsm=capability",      // nor has it policies to ask at every system call
	"cryptomgr.notests",   // 0.3 s at boot, and more whenever a module with a cipher is loaded
	"log_buf_len=4M",      // a test's worth of kernel log
	"printk.devkmsg=on",   // what the agent writes to the log is not rate limited
}
