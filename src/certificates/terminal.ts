import { spawnSync } from "node:child_process";

/** Where somebody can be asked. */
export interface Terminal {
  /**
   * Shows `prompt` and reads a line without echo; undefined when nobody answers: there is no
   * terminal, it was closed, or Ctrl-C was pressed. Blocks the process meanwhile.
   */
  askSecretly(prompt: string): string | undefined;
}

/**
 * A shell does it, for a process that is blocked in a read can neither see a signal nor restore
 * the echo. `read` and `printf` are the shell's own, so the answer is in no command line.
 */
const SCRIPT = `
exec 3<>/dev/tty || exit 1
saved=$(stty -g <&3) || exit 1
restore() { stty "$saved" <&3; printf '\\n' >&3; }
trap 'restore; exit 1' HUP INT TERM
stty -echo <&3 || exit 1
printf '%s' "$1" >&3
IFS= read -r answer <&3
status=$?
restore
[ $status -eq 0 ] && printf '%s' "$answer"
`;

/** The terminal from which this process was started, if there is one. */
export const controllingTerminal: Terminal = {
  askSecretly(prompt) {
    const { status, stdout } = spawnSync("/bin/sh", ["-c", SCRIPT, "sh", prompt], {
      stdio: ["ignore", "pipe", "ignore"],
      encoding: "utf8",
    });
    return status === 0 ? stdout : undefined;
  },
};
