// Tables: the heads become buttons that sort the rows.
(() => {
  const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(?=$|[\s%])/;

  // Numbers come first, then words, then what is absent.
  function key(row, place) {
    const text = row.cells[place].textContent.trim();
    const found = NUMBER.exec(text.replaceAll("\u2212", "-").replaceAll(",", ""));
    if (found) return [0, Number(found[0]), ""];
    return text === "\u2013" || text === "" ? [2, 0, ""] : [1, 0, text];
  }

  function sort(table, head, place) {
    const falling = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, by: key(row, place) }));
    rows.sort(({ by: a }, { by: b }) => {
      if (a[0] !== b[0]) return a[0] - b[0];
      const order = a[1] - b[1] || a[2].localeCompare(b[2], "en", { numeric: true });
      return falling ? -order : order;
    });
    table.tBodies[0].append(...rows.map(({ row }) => row));
  }

  for (const table of document.querySelectorAll("main table")) {
    if (table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, head, place));
    });
  }
})();
