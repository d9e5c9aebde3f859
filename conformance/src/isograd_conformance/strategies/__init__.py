"""What the tests draw: values, applications of primitives, whole functions, updates, networks.

Shapes fit by construction and nothing is filtered; strategies are ordered so that a failure shrinks to small
shapes, plain operands and one application.
"""
