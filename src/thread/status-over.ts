import { Observable } from "rxjs";
import type { AgentStatus } from "../protocol/agent-status.ts";

/** A thread's status as its events change it, first what it is now. */
export function statusOver(events$: Observable<unknown>, statusOf: () => AgentStatus): Observable<AgentStatus> {
  return new Observable((subscriber) => {
    let last = statusOf();
    subscriber.next(last);
    return events$.subscribe({
      next: () => {
        const now = statusOf();
        if (now === last) return;
        last = now;
        subscriber.next(last);
      },
      complete: () => subscriber.complete(),
    });
  });
}
