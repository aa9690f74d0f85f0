import { type Clock, systemClock } from "../../base/clock.ts";
import { errnoText } from "../../base/error_text.ts";
import { AF_INET, AF_INET6, AF_UNIX, EINPROGRESS, SOL_SOCKET } from "../../os/constants.ts";
import { SO_ERROR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from "../../os/constants.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import type { Libc } from "../../os/libc.ts";
import { sockaddr } from "../../os/sockaddr.ts";
import { cInt, readCInt } from "../../os/structures.ts";

/** Time from one probe to the next, in milliseconds. */
const INTERVAL_MS = 2000;
/** Time limit of a connect, in milliseconds. */
const LIMIT_MS = 3000;
/** Pauses until the result of a connect is looked at again, in milliseconds; the last one repeats. */
const PAUSES_MS = [10, 40, 150, 400];

/** Whether a connect succeeded. */
export type ProbeResult =
  | { readonly isUp: true }
  | { readonly isUp: false; readonly cause: string };

/**
 * Connects the backend every two seconds and closes at once. Whether clients can be served must not
 * depend on clients: a load balancer that has withdrawn them would never send others.
 */
export class BackendProbe {
  private readonly libc: Libc;
  private readonly clock: Clock;
  private backend: Endpoint | undefined;
  /** The number of the last {@link use}, which ends the probes before it. */
  private round = 0;
  private last: ProbeResult | undefined;

  constructor(libc: Libc, clock: Clock = systemClock) {
    this.libc = libc;
    this.clock = clock;
  }

  /** The result of the last probe of this backend; undefined: there is none yet. */
  get result(): ProbeResult | undefined {
    return this.last;
  }

  /** Probes this backend from now on; undefined: none. */
  use(backend: Endpoint | undefined): void {
    const isSame = JSON.stringify(backend) === JSON.stringify(this.backend);
    this.backend = backend;
    if (isSame) return;
    this.last = undefined;
    this.begin(++this.round);
  }

  private begin(round: number): void {
    const { backend, libc } = this;
    if (!backend || round !== this.round) return;
    const fd = libc.socket(FAMILIES[backend.family], TYPE, 0);
    if (fd < 0) return this.end(round, -1, failed(libc.errno()));
    const address = sockaddr(backend);
    if (libc.connect(fd, address, address.length) === 0) return this.end(round, fd, UP);
    const errno = libc.errno();
    if (errno !== EINPROGRESS) return this.end(round, fd, failed(errno));
    this.look(round, fd, this.clock.now() + LIMIT_MS, 0);
  }

  /** Looks at the connect in progress after a pause. */
  private look(round: number, fd: number, limit: number, attempt: number): void {
    const pause = PAUSES_MS[Math.min(attempt, PAUSES_MS.length - 1)]!;
    this.clock.after(pause, () => {
      const result = this.resultOf(fd) ?? (this.clock.now() >= limit ? TIMED_OUT : undefined);
      if (result) this.end(round, fd, result);
      else this.look(round, fd, limit, attempt + 1);
    });
  }

  /** Undefined while the connect is in progress. */
  private resultOf(fd: number): ProbeResult | undefined {
    const { libc } = this;
    const errno = cInt(0);
    libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, errno, cInt(errno.length));
    if (readCInt(errno) !== 0) return failed(readCInt(errno));
    const address = new Uint8Array(128);
    return libc.getpeername(fd, address, cInt(address.length)) === 0 ? UP : undefined;
  }

  private end(round: number, fd: number, result: ProbeResult): void {
    if (fd >= 0) this.libc.close(fd);
    if (round !== this.round) return;
    this.last = result;
    this.clock.after(INTERVAL_MS, () => this.begin(round));
  }
}

const FAMILIES = { 4: AF_INET, 6: AF_INET6, unix: AF_UNIX } as const;
const TYPE = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
const UP: ProbeResult = { isUp: true };
const TIMED_OUT: ProbeResult = {
  isUp: false,
  cause: `it does not answer within ${LIMIT_MS / 1000} s`,
};

function failed(errno: number): ProbeResult {
  return { isUp: false, cause: errnoText(errno) };
}
