/** Calls to the C library: their types, and their signatures for the FFI of all three runtimes. */

/** Calls to the C library. All return C's result; after a failure `errno()` returns the reason. */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  listen(fd: number, backlog: number): number;
  connect(fd: number, address: Uint8Array, length: number): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number): number;
  getsockopt(
    fd: number,
    level: number,
    option: number,
    value: Uint8Array,
    length: Uint8Array,
  ): number;
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  getpeername(fd: number, address: Uint8Array, length: Uint8Array): number;
  shutdown(fd: number, how: number): number;
  dup(fd: number): number;
  dup2(fd: number, onto: number): number;
  epoll_ctl(epoll: number, operation: number, fd: number, event: Uint8Array): number;
  /** `entries` are structures of poll(2); `timeout` is in milliseconds. */
  poll(entries: Uint8Array, count: number, timeout: number): number;
  close(fd: number): number;
  /** Writes two ints to `ends`: where to read and where to write. */
  pipe2(ends: Uint8Array, flags: number): number;
  read(fd: number, into: Uint8Array, length: number): number;
  setgroups(count: number, groups: Uint8Array): number;
  /** Paths are bytes that end in 0. */
  chroot(path: Uint8Array): number;
  memfd_create(name: Uint8Array, flags: number): number;
  /** Returns free memory to the system, except `keep` bytes. */
  malloc_trim(keep: number): number;
  open(path: Uint8Array, flags: number, mode: number): number;
  fchmod(fd: number, mode: number): number;
  pread(fd: number, into: Uint8Array, length: number, offset: number): number;
  write(fd: number, bytes: Uint8Array, length: number): number;
  send(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  recv(fd: number, into: Uint8Array, length: number, flags: number): number;
  fcntl(fd: number, command: number, argument: Uint8Array): number;
  /** `argument` is passed by pointer; a request without an argument ignores it. */
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  /** Returns 0 if the interface does not exist. */
  if_nametoindex(name: Uint8Array): number;
  /** Writes an int to `status`. */
  waitpid(pid: number, status: Uint8Array, options: number): number;
  /** Version 3: `header` and `data` are structures of capset(2). */
  capset(header: Uint8Array, data: Uint8Array): number;
  /** Reads the memory of a process; both are arrays of `struct iovec`. */
  process_vm_readv(
    pid: number,
    into: Uint8Array,
    intoCount: number,
    from: Uint8Array,
    fromCount: number,
    flags: number,
  ): number;
  sched_setaffinity(pid: number, size: number, mask: Uint8Array): number;
  prctl(option: number, value: number | bigint, a: number, b: number, c: number): number;
  /** `time` is a `struct timespec`. */
  clock_gettime(clock: number, time: Uint8Array): number;
  /** Ends the process at once, without `atexit` handlers. */
  _exit(code: number): number;
  errno(): number;
  /**
   * Returns the address of the bytes in memory, for a structure that points to them. It is valid
   * while the bytes are referenced.
   */
  addressOf(bytes: Uint8Array): bigint;
}

export type CType = "i32" | "u32" | "u64" | "buffer";

/** Linux with glibc. An absolute path would differ between distributions. */
export const libcName = "libc.so.6";

/**
 * All return an int, or a count that fits in one. The variadic arguments of `prctl`, `fcntl` and
 * `ioctl` are passed in registers on Linux.
 */
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
  poll: ["buffer", "u64", "i32"],
  close: ["i32"],
  pipe2: ["buffer", "i32"],
  read: ["i32", "buffer", "u64"],
  setgroups: ["u64", "buffer"],
  chroot: ["buffer"],
  memfd_create: ["buffer", "u32"],
  malloc_trim: ["u64"],
  open: ["buffer", "i32", "u32"],
  fchmod: ["i32", "u32"],
  pread: ["i32", "buffer", "u64", "u64"],
  write: ["i32", "buffer", "u64"],
  send: ["i32", "buffer", "u64", "i32"],
  recv: ["i32", "buffer", "u64", "i32"],
  fcntl: ["i32", "i32", "buffer"],
  ioctl: ["i32", "u64", "buffer"],
  if_nametoindex: ["buffer"],
  waitpid: ["i32", "buffer", "i32"],
  capset: ["buffer", "buffer"],
  process_vm_readv: ["i32", "buffer", "u64", "buffer", "u64", "u64"],
  sched_setaffinity: ["i32", "u64", "buffer"],
  prctl: ["i32", "u64", "u64", "u64", "u64"],
  clock_gettime: ["i32", "buffer"],
  _exit: ["i32"],
} as const satisfies Record<string, readonly CType[]>;
