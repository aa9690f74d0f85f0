/** Signatures of the C library calls in {@link Libc}, one list for all runtimes' FFI. */

export type CType = "i32" | "u32" | "u64" | "buffer";

/** Linux with glibc. An absolute path would differ between distributions. */
export const libcName = "libc.so.6";

/** All of these return an int, or a count that fits in one. `prctl`'s and `fcntl`'s variadic arguments travel in registers on Linux. */
export const signatures = {
  socket: ["i32", "i32", "i32"],
  bind: ["i32", "buffer", "u32"],
  listen: ["i32", "i32"],
  connect: ["i32", "buffer", "u32"],
  setsockopt: ["i32", "i32", "i32", "buffer", "u32"],
  getsockopt: ["i32", "i32", "i32", "buffer", "buffer"],
  getsockname: ["i32", "buffer", "buffer"],
  getpeername: ["i32", "buffer", "buffer"],
  shutdown: ["i32", "i32"],
  dup: ["i32"],
  dup2: ["i32", "i32"],
  epoll_ctl: ["i32", "i32", "i32", "buffer"],
  close: ["i32"],
  setgroups: ["u64", "buffer"],
  chroot: ["buffer"],
  memfd_create: ["buffer", "u32"],
  malloc_trim: ["u64"],
  open: ["buffer", "i32", "u32"],
  fchmod: ["i32", "u32"],
  pread: ["i32", "buffer", "u64", "u64"],
  write: ["i32", "buffer", "u64"],
  send: ["i32", "buffer", "u64", "i32"],
  fcntl: ["i32", "i32", "buffer"],
  flock: ["i32", "i32"],
  ioctl: ["i32", "u64"],
  if_nametoindex: ["buffer"],
  sched_setaffinity: ["i32", "u64", "buffer"],
  prctl: ["i32", "u64", "u64", "u64", "u64"],
  clock_gettime: ["i32", "buffer"],
} as const satisfies Record<string, readonly CType[]>;
