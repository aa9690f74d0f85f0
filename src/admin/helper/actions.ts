import type { AdminAction, AdminAnswer } from "../messages.ts";
import { MAX_ACTIONS } from "../messages.ts";

/** What a client asks of the master. */
export type Action = AdminAction extends infer Each
  ? Each extends { number: number } ? Omit<Each, "type" | "number">
  : never
  : never;

/** The questions to the master that are not answered yet. */
export class Actions {
  private readonly send: (action: AdminAction) => void;
  private readonly waiting = new Map<number, (answer: AdminAnswer) => void>();
  private asked = 0;

  constructor(send: (action: AdminAction) => void) {
    this.send = send;
  }

  /** Undefined if too many wait already. */
  ask(action: Action): Promise<AdminAnswer> | undefined {
    if (this.waiting.size >= MAX_ACTIONS) return undefined;
    const number = ++this.asked;
    return new Promise((resolve) => {
      this.waiting.set(number, resolve);
      this.send({ type: "action", number, ...action } as AdminAction);
    });
  }

  answered(answer: AdminAnswer): void {
    this.waiting.get(answer.number)?.(answer);
    this.waiting.delete(answer.number);
  }
}
