/** Where the helper writes to. */
import { fstatSync } from "node:fs";
import { errnoText } from "../base/error_text.ts";
import type { Syslog } from "../log/syslog.ts";
import { EAGAIN, EINTR } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";

/** What poll(2) promises room for in a pipe, in bytes. */
const PIPE_BUF = 4096;

export interface HelperOutput {
  /**
   * Writes the beginning of whole lines, possibly blocking. Returns the number of bytes accepted;
   * `full`: wait for the descriptor; otherwise why they cannot be written.
   */
  write(bytes: Uint8Array): number | "full" | { readonly cause: string };
}

/** Returns an output for a descriptor, which is non-blocking if this program has opened it. */
export function fileOutput(libc: Libc, fd: number): HelperOutput {
  const isFile = fstatSync(fd).isFile();
  // Part of a line has been written, and its rest was refused.
  let isTorn = false;
  return {
    write(bytes) {
      const part = isFile ? bytes : bytes.subarray(0, PIPE_BUF);
      if (isTorn && libc.write(fd, NEWLINE, 1) === 1) isTorn = false;
      const written = libc.write(fd, part, part.length);
      if (written > 0) {
        isTorn = part[written - 1] !== NEWLINE[0];
        return written;
      }
      const errno = written < 0 ? libc.errno() : EAGAIN;
      if (errno === EAGAIN) return "full";
      return errno === EINTR ? 0 : { cause: errnoText(errno) };
    },
  };
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
