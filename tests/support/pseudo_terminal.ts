/** A terminal whose output can be stopped, as by Ctrl-S. */
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { readCInt } from "../../src/os/structures.ts";
import type { Libc } from "../../src/os/libc.ts";

/** Requests of ioctl_tty(2): unlock the other end, and return its number. */
const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
const CTRL_S = "\x13";

export interface PseudoTerminal {
  /** The end for the program. */
  readonly path: string;
  /** Stops the output: from now on writes are queued. */
  stop(): void;
  close(): void;
}

export function openPseudoTerminal(libc: Libc): PseudoTerminal {
  const fd = openSync("/dev/ptmx", constants.O_RDWR | constants.O_NOCTTY);
  const argument = new Uint8Array(4);
  libc.ioctl(fd, TIOCSPTLCK, argument);
  libc.ioctl(fd, TIOCGPTN, argument);
  return {
    path: `/dev/pts/${readCInt(argument)}`,
    stop: () => void writeSync(fd, CTRL_S),
    close: () => closeSync(fd),
  };
}
