import { spawnSync } from "node:child_process";
import { MFD_CLOEXEC } from "../os/constants.ts";
import { secretBuffer } from "../base/secret_buffer.ts";
import type { Libc } from "../os/libc.ts";
import { cString } from "../os/structures.ts";

/** A terminal that can ask for a secret. */
export interface Terminal {
  /**
   * Shows `prompt` and reads a line without echo. Returns undefined without an answer: there is no
   * terminal, it was closed, or Ctrl-C was pressed. Blocks the process. The caller wipes the
   * answer.
   */
  askSecretly(prompt: string): Buffer | undefined;
}

/**
 * A shell reads the line, because a process that is blocked in a read can neither handle a signal
 * nor restore the echo. `read` and `printf` are built into the shell, so the answer is in no
 * command line.
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

/** More than the longest line of a terminal, in bytes. */
const MAX_ANSWER = 8192;

/** The controlling terminal of this process, if it has one. */
export function controllingTerminal(libc: Libc): Terminal {
  return {
    askSecretly(prompt) {
      // A pipe's data would stay in buffers of the runtime, which cannot be wiped.
      const fd = libc.memfd_create(cString("answer"), MFD_CLOEXEC);
      if (fd < 0) return undefined;
      const bytes = secretBuffer(MAX_ANSWER);
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
