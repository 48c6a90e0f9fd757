//! What is like a cell of the matrix and in none of its columns.
