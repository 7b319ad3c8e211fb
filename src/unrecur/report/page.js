"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const plots = [...document.querySelectorAll("[data-figure]")];
  const NARROW = 620; // pixels below which panels stand one above another
  const BETWEEN = 100; // pixels between them, for an axis' title and the next panel's
  const PAPER = 680; // pixels across a printed page

  function stacked(layout, names) {
    const count = layout.meta.panels;
    const columns = names.some((name) => name.length > 14) ? 1 : 2;
    const frame = 110; // above the first panel and below the last
    const panel = layout.height - frame;
    const plot = count * panel + (count - 1) * BETWEEN;
    const changed = {
      ...layout,
      height: plot + frame + 24 * Math.floor(names.length / columns),
      legend: { ...layout.legend, entrywidth: 0.96 / columns, entrywidthmode: "fraction" },
    };
    for (let i = 0; i < count; i++) {
      const suffix = i ? String(i + 1) : "";
      const top = 1 - (i * (panel + BETWEEN)) / plot;
      const place = { domain: [Math.max(0, top - panel / plot), top], showticklabels: true };
      changed["xaxis" + suffix] = { ...layout["xaxis" + suffix], domain: [0, 1] };
      changed["yaxis" + suffix] = { ...layout["yaxis" + suffix], ...place };
    }
    return changed;
  }

  function draw(width) {
    for (const plot of plots) {
      const { data, layout } = structuredClone(figures[plot.dataset.figure]);
      const room = width || plot.clientWidth;
      const names = data.filter((trace) => trace.showlegend).map((trace) => trace.name);
      const fitted = room < NARROW ? stacked(layout, names) : layout;
      Plotly.react(plot, data, { ...fitted, width: room }, { displayModeBar: false });
    }
  }

  let drawn = 0;
  new ResizeObserver(([main]) => {
    const width = main.contentRect.width;
    if (width !== drawn && !window.matchMedia("print").matches) {
      drawn = width;
      requestAnimationFrame(() => draw());
    }
  }).observe(document.querySelector("main"));
  window.addEventListener("beforeprint", () => draw(PAPER));
  window.addEventListener("afterprint", () => draw());
})();
