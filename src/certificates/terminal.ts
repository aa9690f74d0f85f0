import { spawnSync } from "node:child_process";
import { MFD_CLOEXEC } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { cString } from "../os/structures.ts";

/** Where somebody can be asked. */
export interface Terminal {
  /**
   * Shows `prompt` and reads a line without echo; undefined when nobody answers: there is no
   * terminal, it was closed, or Ctrl-C was pressed. Blocks the process meanwhile. The caller wipes
   * the answer.
   */
  askSecretly(prompt: string): Buffer | undefined;
}

/**
 * A shell does it, for a process that is blocked in a read can neither see a signal nor restore
 * the echo. `read` and `printf` are the shell's own, so the answer is in no command line.
 */
const SCRIPT = `
exec 4<>/dev/tty || exit 1
saved=$(stty -g <&4) || exit 1
restore() { stty "$saved" <&4; printf '\\n' >&4; }
trap 'restore; exit 1' HUP INT TERM
stty -echo <&4 || exit 1
printf '%s' "$1" >&4
IFS= read -r answer <&4
status=$?
restore
[ $status -eq 0 ] && printf '%s' "$answer" >&3
`;

/** Longer than what a terminal passes on as one line, in bytes. */
const MAX_ANSWER = 8192;

/** The terminal from which this process was started, if there is one. */
export function controllingTerminal(libc: Libc): Terminal {
  return {
    askSecretly(prompt) {
      // What comes by a pipe of the runtime's stays in its buffers, which nobody can wipe.
      const fd = libc.memfd_create(cString("answer"), MFD_CLOEXEC);
      if (fd < 0) return undefined;
      const bytes = Buffer.alloc(MAX_ANSWER);
      try {
        const { status } = spawnSync("/bin/sh", ["-c", SCRIPT, "sh", prompt], {
          stdio: ["ignore", "ignore", "ignore", fd],
        });
        const length = libc.pread(fd, bytes, bytes.length, 0);
        return status === 0 && length >= 0 ? bytes.subarray(0, length) : undefined;
      } finally {
        libc.close(fd);
      }
    },
  };
}
