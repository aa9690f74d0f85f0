/**
 * Standard error as a log. It usually blocks, and what it is connected to is not ours to change: the
 * open file description is shared with a shell, with a service manager, with our workers. A log that
 * nobody reads, and a terminal stopped by Ctrl-S, must not hold up the master all the same.
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

/** `fd` stays open when the output is closed; `path` is where the system has it as a file. */
export function standardError(libc: Libc, fd = STDERR, path = `/proc/self/fd/${fd}`): Output {
  const is = fstatSync(fd);
  if (is.isSocket()) return socketOutput(libc, fd);
  if (is.isFile()) return { write: (bytes) => tryWrite(fd, bytes), close() {} };
  try {
    // The same pipe or terminal by an open file description of our own, which need not block.
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
 * terminal is non-blocking for the moment of a write only: others read from it.
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
