/** What is in sight: the middle's view, the right's, and on a narrow screen which column. */
import { signal } from "@preact/signals";

export type Middle = "talk" | "time" | "files" | "compare";
export type Pane = "tree" | "thread" | "side";

export const middle = signal<Middle>("talk");
export const machineName = signal<"turn" | "thread">("turn");
export const pane = signal<Pane>("tree");
export const showsKeys = signal(false);
