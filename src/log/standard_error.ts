/**
 * Standard error as a log. It usually blocks, and that must not be changed: the open file description
 * is shared with a shell, a service manager, our workers. Still, a log that nobody reads, and a
 * terminal stopped by Ctrl-S, must not block the master.
 */
import { constants, fstatSync, openSync } from "node:fs";
import {
  EAGAIN,
  F_GETFL,
  FIONBIO,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  O_NONBLOCK,
} from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { cInt } from "../os/structures.ts";
import { type Output, ownOutput, tryWrite } from "./output.ts";

const STDERR = 2;
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK | constants.O_NOCTTY;

/** Returns an output for `fd`, which it does not close; `path` is a path to the same file. */
export function standardError(libc: Libc, fd = STDERR, path = `/proc/self/fd/${fd}`): Output {
  const is = fstatSync(fd);
  if (is.isSocket()) return socketOutput(libc, fd);
  if (is.isFile()) return { write: (bytes) => tryWrite(fd, bytes), close() {} };
  try {
    // The same pipe or terminal through our own open file description, which can be non-blocking.
    return ownOutput(openSync(path, FLAGS));
  } catch {
    // It belongs to another user, as after `su` or `setpriv`, or there is no /proc.
    return sharedOutput(libc, fd, is.isCharacterDevice());
  }
}

/** The journal, for example. */
function socketOutput(libc: Libc, fd: number): Output {
  return {
    write(bytes) {
      const sent = libc.send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent >= 0) return sent;
      return libc.errno() === EAGAIN ? "full" : "refused";
    },
    close() {},
  };
}

/**
 * A pipe stays non-blocking from now on, set again before each write since others may change it. A
 * terminal is non-blocking only during a write, since others read from it.
 */
function sharedOutput(libc: Libc, fd: number, isTerminal: boolean): Output {
  return {
    write(bytes) {
      const isBlocking = (libc.fcntl(fd, F_GETFL, cInt(0)) & O_NONBLOCK) === 0;
      if (isBlocking) libc.ioctl(fd, FIONBIO, cInt(1));
      try {
        return tryWrite(fd, bytes);
      } finally {
        if (isBlocking && isTerminal) libc.ioctl(fd, FIONBIO, cInt(0));
      }
    },
    close() {},
  };
}
