"""The ground floor: engine, transactions, tables and their migrations. It knows no rule of the trade."""
