/** Where the helper writes to. */
import { fstatSync } from "node:fs";
import { errnoText } from "../base/error_text.ts";
import type { Syslog } from "../log/syslog.ts";
import { EAGAIN, EINTR } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";

/** What poll(2) promises room for in a pipe, and what is not mixed with other writes, in bytes. */
const PIPE_BUF = 4096;

export interface HelperOutput {
  /**
   * Writes the beginning of whole lines, possibly blocking. Returns the number of bytes accepted;
   * `full`: wait for the descriptor; otherwise why they cannot be written.
   */
  write(bytes: Uint8Array): number | "full" | { readonly cause: string };
}

/**
 * Returns an output for a descriptor, which is non-blocking if this program has opened it. Lines stay
 * whole although others write to the same pipe: a second master after SIGUSR2, for example.
 */
export function fileOutput(libc: Libc, fd: number): HelperOutput {
  const isFile = fstatSync(fd).isFile();
  // The last line is incomplete.
  let isBegun = false;
  // Its rest was refused.
  let isTorn = false;
  const tryWrite = (bytes: Uint8Array): ReturnType<HelperOutput["write"]> => {
    const written = libc.write(fd, bytes, bytes.length);
    if (written > 0) return written;
    const errno = written < 0 ? libc.errno() : EAGAIN;
    if (errno === EAGAIN) return "full";
    return errno === EINTR ? 0 : { cause: errnoText(errno) };
  };
  return {
    write(bytes) {
      if (isTorn) {
        const ended = tryWrite(NEWLINE);
        if (ended !== 1) return ended;
        isTorn = false;
      }
      const part = isFile ? bytes : wholeLines(bytes.subarray(0, PIPE_BUF));
      const written = tryWrite(part);
      if (typeof written === "object") {
        isTorn = isBegun;
        isBegun = false;
      } else if (typeof written === "number" && written > 0) {
        isBegun = part[written - 1] !== NEWLINE[0];
      }
      return written;
    },
  };
}

/** Without the beginning of a line at the end. No line is longer than {@link PIPE_BUF}. */
function wholeLines(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.lastIndexOf(NEWLINE[0]!) + 1);
}

/** Returns an output for syslog, one record for each line. */
export function syslogOutput(syslog: Syslog): HelperOutput {
  return {
    write(bytes) {
      const end = bytes.indexOf(NEWLINE[0]!) + 1;
      const line = new TextDecoder().decode(bytes.subarray(0, end - 1));
      if (syslog.write("info", line)) return end;
      return { cause: `syslog at ${syslog.path} does not accept them` };
    },
  };
}

const NEWLINE = new Uint8Array([10]);
