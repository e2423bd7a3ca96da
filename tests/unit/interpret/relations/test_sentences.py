"""Edges in words, and clauses that are read back from them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError
from workbench.interpret.relations import Edge, RelationGraph, paragraph, sentence, unsupported
from workbench.interpret.relations.sentences import VERBS

CAUSAL = Edge("layer2", 12, "layer3", 40, "causal", "excites", 1.5, 1.2, 1.8, 0.001, 0.002, 80, category="bird")
JOINT = replace(CAUSAL, relation="and-not", partner_layer="layer2", partner_unit=7)
CONCEPT = Edge("a", 0, "b", 1, "concept", "excites", 0.4, source_name="wheel", target_name="car")
UNTESTED = Edge("layer2", 3, "layer3", 40, "causal", "excites", tested=False, reason="active in no image")


def test_a_sentence_says_who_does_what_to_whom_and_how_sure_it_is():
    names = {("layer2", 12): "red", ("layer3", 40): "blue square"}
    said = sentence(CAUSAL, names=names)
    assert said.startswith("Unit 12 of layer2, red, excites unit 40 of layer3, blue square (")
    assert "effect 1.5, 95 % from 1.2 to 1.8; q = 0.002; 80 images; most of them bird" in said
    assert sentence(JOINT, evidence=False) == (
        "Unit 12 of layer2 but not unit 7 of layer2 together drive unit 40 of layer3."
    )
    assert sentence(CONCEPT, evidence=False) == "Concept 0 of a, wheel, excites concept 1 of b, car."
    assert "not tested: active in no image" in sentence(UNTESTED)


def test_a_paragraph_is_entailed_by_its_graph_and_by_no_other():
    graph = RelationGraph.from_edges([CAUSAL, JOINT, CONCEPT, UNTESTED])
    text = paragraph(graph, names={("layer2", 12): "red, very"})
    assert text.count(".") == 3
    assert unsupported(text, graph) == []
    without = RelationGraph.from_edges([JOINT, CONCEPT])
    assert unsupported(text, without) == ["Unit 12 of layer2, red very, excites unit 40 of layer3."]
    opposite = RelationGraph.from_edges([replace(CAUSAL, relation="inhibits"), JOINT, CONCEPT])
    assert len(unsupported(text, opposite)) == 1
    assert unsupported("Unit 3 of layer2 excites unit 40 of layer3.", graph) != []
    assert unsupported("The network sees birds.", graph) == ["The network sees birds."]
    assert paragraph(RelationGraph.from_edges([UNTESTED])) == ""
    with pytest.raises(InputError, match="at least 1"):
        paragraph(graph, most=0)


@given(
    st.sampled_from(sorted(VERBS)),
    st.integers(0, 999),
    st.integers(0, 999),
    st.sampled_from(["", "red", "red square left", "and", "lies left of it"]),
    st.booleans(),
)
def test_what_is_written_is_read_back(relation, source, target, name, evidence):
    kind = {"together": "association", "excites": "causal", "inhibits": "causal"}.get(relation, "spatial")
    edge = Edge("features.3", source, "classifier", target, kind, relation, 0.5, q_value=0.01)
    names = {("features.3", source): name, ("classifier", target): name}
    graph = RelationGraph.from_edges([edge])
    assert unsupported(sentence(edge, names=names, evidence=evidence), graph) == []
    other = RelationGraph.from_edges([replace(edge, target_unit=target + 1)])
    assert len(unsupported(sentence(edge, names=names), other)) == 1
