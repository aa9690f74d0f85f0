import type { WorkerCounts } from "../../worker_protocol/messages.ts";

/** What one worker last told. */
export interface Told extends WorkerCounts {
  readonly pid: number;
  readonly open: number;
}

const NOTHING: WorkerCounts = { accepted: 0, full: 0, resumed: 0 };

/** What the workers of a slot, each of which begins at 0, have counted together. */
export class Tally<Worker extends { readonly pid: number | undefined; readonly open: number }> {
  private readonly byWorker = new WeakMap<Worker, WorkerCounts>();
  private sum = NOTHING;

  get total(): WorkerCounts {
    return this.sum;
  }

  /** A worker tells what it has counted. */
  count(worker: Worker, { accepted, full, resumed }: WorkerCounts): void {
    const before = this.byWorker.get(worker) ?? NOTHING;
    // A count that shrinks would be a lie.
    const more = (now: number, then: number) => Math.max(0, now - then);
    this.sum = {
      accepted: this.sum.accepted + more(accepted, before.accepted),
      full: this.sum.full + more(full, before.full),
      resumed: this.sum.resumed + more(resumed, before.resumed),
    };
    this.byWorker.set(worker, { accepted, full, resumed });
  }

  toldBy(worker: Worker): Told {
    const counts = this.byWorker.get(worker) ?? NOTHING;
    return { pid: worker.pid ?? 0, open: worker.open, ...counts };
  }
}
