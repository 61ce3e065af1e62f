/** A binary heap: the least comes out first, O(log n) for each that comes or leaves; equal ones in no defined order. */
export class MinHeap<T> {
  #nodes: { readonly key: number; readonly value: T }[] = [];

  get size(): number {
    return this.#nodes.length;
  }

  get first(): { readonly key: number; readonly value: T } | undefined {
    return this.#nodes[0];
  }

  push(key: number, value: T): void {
    const nodes = this.#nodes;
    const node = { key, value };
    let at = nodes.length;
    nodes.push(node);
    for (let above = (at - 1) >> 1; at > 0; above = (at - 1) >> 1) {
      const parent = nodes[above];
      if (parent === undefined || parent.key <= key) break;
      nodes[at] = parent;
      at = above;
    }
    nodes[at] = node;
  }

  pop(): T | undefined {
    const nodes = this.#nodes;
    const [first] = nodes;
    const last = nodes.pop();
    if (last !== undefined && nodes.length > 0) this.#sink(last);
    return first?.value;
  }

  #sink(node: { readonly key: number; readonly value: T }): void {
    const nodes = this.#nodes;
    let at = 0;
    for (;;) {
      const left = nodes[2 * at + 1];
      const right = nodes[2 * at + 2];
      const isRight = right !== undefined && left !== undefined && right.key < left.key;
      const least = isRight ? right : left;
      if (least === undefined || least.key >= node.key) break;
      nodes[at] = least;
      at = 2 * at + (isRight ? 2 : 1);
    }
    nodes[at] = node;
  }

  clear(): void {
    this.#nodes = [];
  }
}
