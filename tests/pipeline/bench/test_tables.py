from pipeline.bench.tables import markdown_table, percentile_cells


def test_columns_are_padded_to_one_width():
    assert markdown_table(("", "ms"), [["long name", "1.00"], ["x", "10.00"]]) == [
        "|           | ms    |",
        "| --------- | ----- |",
        "| long name | 1.00  |",
        "| x         | 10.00 |",
    ]


def test_percentiles_have_two_digits():
    assert percentile_cells({"p50": 1, "p95": 2.346, "p99": 30}) == ["1.00", "2.35", "30.00"]
