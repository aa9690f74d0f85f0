import { guarded } from "../log/guarded.ts";
import { writeLateCounts } from "../upgrade/late_counts.ts";
import type { ServiceState } from "./state.ts";

/**
 * Reads what the predecessor's workers have counted meanwhile, and leaves all numbers to a successor:
 * whichever of these processes answers, no number decreases. Never throws.
 */
export function exchangeCounts(state: ServiceState): void {
  const { log, lateCounts: fd } = state;
  const { counts } = state.master!;
  void guarded(log, () => {
    const late = state.options.predecessor?.lateCounts();
    if (late?.numbers) counts.inherit(late.numbers);
    if (late?.isFinal) counts.settle();
  });
  if (fd !== undefined) void guarded(log, () => writeLateCounts(fd, counts.handed.numbers));
}
