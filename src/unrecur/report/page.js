"use strict";
// Figures: drawn when they come near the view, again at another width, all of them for paper.
const unrecur = (() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const plots = [...document.querySelectorAll("[data-figure]")];
  const NARROW = 620; // pixels below which panels stand one above another
  const WIDE = 900; // below which four panels stand two by two
  const BETWEEN = 100; // pixels between them, for an axis' title and the next panel's
  const BESIDE = 0.12; // of the width, between two panels side by side
  const PAPER = 680; // pixels across a printed page
  const PLOTLY = document.getElementById("plotly");
  let hidden = new Set(); // what legends call the models that the reader has hidden

  function stacked(layout, names, across) {
    const rows = Math.ceil(layout.meta.panels / across);
    const share = (1 - BESIDE * (across - 1)) / across;
    const columns = across > 1 ? 4 : names.some((name) => name.length > 14) ? 1 : 2;
    const frame = 110; // above the first panel and below the last
    const panel = layout.height - frame;
    const plot = rows * panel + (rows - 1) * BETWEEN;
    const changed = {
      ...layout,
      height: plot + frame + 24 * Math.floor(names.length / columns),
      legend: { ...layout.legend, entrywidth: 0.96 / columns, entrywidthmode: "fraction" },
    };
    for (let i = 0; i < layout.meta.panels; i++) {
      const suffix = i ? String(i + 1) : "";
      const top = 1 - (Math.floor(i / across) * (panel + BETWEEN)) / plot;
      const left = (i % across) * (share + BESIDE);
      const place = { domain: [Math.max(0, top - panel / plot), top], showticklabels: true };
      changed["xaxis" + suffix] = { ...layout["xaxis" + suffix], domain: [left, left + share] };
      changed["yaxis" + suffix] = { ...layout["yaxis" + suffix], ...place };
    }
    return changed;
  }

  // Plotly takes longer to start than all the rest: the text is shown first.
  function start() {
    const script = document.createElement("script");
    script.textContent = PLOTLY.textContent;
    document.head.append(script);
  }

  function draw(plot, width) {
    if (!window.Plotly) start();
    const { data, layout } = structuredClone(figures[plot.dataset.figure]);
    for (const trace of data) if (hidden.has(trace.legendgroup)) trace.visible = false;
    const shown = data.filter((trace) => trace.visible !== false);
    const room = width || plot.clientWidth;
    const legend = layout.showlegend !== false;
    const names = shown.filter((trace) => legend && trace.showlegend).map((trace) => trace.name);
    const across = room < NARROW ? 1 : room < WIDE && layout.meta.panels === 4 ? 2 : 0;
    const fitted = across ? stacked(layout, names, across) : layout;
    // What a reader has switched off in the legend stays off.
    const made = { ...fitted, width: room, uirevision: "kept" };
    Plotly.react(plot, data, made, { displayModeBar: false });
  }

  const stale = new Set(plots);
  const near = new Set();
  const refresh = () => near.forEach((plot) => stale.delete(plot) && draw(plot));
  const renew = () => {
    plots.forEach((plot) => stale.add(plot));
    requestAnimationFrame(refresh);
  };

  for (const plot of plots) plot.style.minHeight = figures[plot.dataset.figure].layout.height + "px";
  const watcher = new IntersectionObserver(
    (changes) => {
      for (const { target, isIntersecting } of changes) {
        if (isIntersecting) near.add(target);
        else near.delete(target);
      }
      requestAnimationFrame(() => setTimeout(refresh)); // after what is seen has been painted
    },
    { rootMargin: "400px" },
  );
  plots.forEach((plot) => watcher.observe(plot));

  let drawn = 0;
  new ResizeObserver(([main]) => {
    const width = main.contentRect.width;
    if (width !== drawn && !window.matchMedia("print").matches) {
      if (drawn) renew();
      drawn = width;
    }
  }).observe(document.querySelector("main"));
  window.addEventListener("beforeprint", () => plots.forEach((plot) => draw(plot, PAPER)));
  window.addEventListener("afterprint", renew);

  return {
    hide(labels) {
      hidden = labels;
      renew();
    },
  };
})();
